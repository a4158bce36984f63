"""Serves the toolkit on a free loopback port, says at which issuer, and forgets everything when it is ended.

Standard input is a JSON object with the `users` and the `applications`, in the words of the models.
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
    """Makes the users and the applications that the tests ask for."""
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    for user in world["users"]:
        User.objects.create_user(**user)
    for application in world["applications"]:
        Application.objects.create(**application)


def serve():
    # A database in memory has no patience with threads that want the same table.
    server = waitress.create_server(get_wsgi_application(), host="127.0.0.1", port=0, threads=1)
    print(f"http://127.0.0.1:{server.effective_port}/o", flush=True)
    server.run()


if __name__ == "__main__":
    main()
