"""Django with the OAuth toolkit and nothing else: what `serve.py` runs."""

import os

# With OpenID Connect there is a second metadata document, and there are keys; without it, which is the toolkit's
# default, there are neither.
OPENID_KEY = os.environ.get("DJANGO_OPENID_KEY", "")

SECRET_KEY = "a-key-of-the-test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        # In memory, and one for all of the process: it leaves nothing behind, however the process ends.
        "NAME": "file:toolkit?mode=memory&cache=shared",
    }
}
# The tables are made from the models: the same ones in a fraction of the time that the migrations take.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "oauth2_provider": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# Says how long an answer is, so that connections can be kept.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
# The clients' secrets are stored as hashes. One that takes its time has no place in a test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

OAUTH2_PROVIDER = {
    "SCOPES": {"mcp:tools": "Use the tools", "write:notes": "Write notes", "openid": "Log in"},
    "OIDC_ENABLED": bool(OPENID_KEY),
    "OIDC_RSA_PRIVATE_KEY": OPENID_KEY,
}
