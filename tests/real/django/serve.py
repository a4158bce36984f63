"""Serves the toolkit on a free loopback port and prints the issuer. All data is in memory.

Standard input is a JSON object with the `users` and the `applications`, with the field names of the models.
"""

import json
import os
import sys

import django
import waitress
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    fill(json.load(sys.stdin))
    serve()


def fill(world):
    """Creates the users and the applications of the tests."""
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    for user in world["users"]:
        User.objects.create_user(**user)
    for application in world["applications"]:
        Application.objects.create(**application)


def serve():
    # Concurrent threads would get errors for locked tables of the in-memory database.
    server = waitress.create_server(get_wsgi_application(), host="127.0.0.1", port=0, threads=1)
    print(f"http://127.0.0.1:{server.effective_port}/o", flush=True)
    server.run()


if __name__ == "__main__":
    main()
