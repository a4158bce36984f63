// Ory Hydra, started from its own command package.
package main

import "github.com/ory/hydra/v2/cmd"

func main() { cmd.Execute() }
