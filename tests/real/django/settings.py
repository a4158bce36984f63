"""The settings for `serve.py`: Django with only the OAuth toolkit."""

import os

# With OpenID Connect, the toolkit has keys and a second metadata document. Without it, which is the default, it has
# neither.
OPENID_KEY = os.environ.get("DJANGO_OPENID_KEY", "")

SECRET_KEY = "a-key-of-the-test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        # One in-memory database for the whole process, so that no data remains after the process ends.
        "NAME": "file:toolkit?mode=memory&cache=shared",
    }
}
# Django creates the tables from the models, which is much faster than the migrations.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "oauth2_provider": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# Adds `Content-Length` to responses, so that connections stay open.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
# The toolkit hashes client secrets, and a fast hash keeps the tests fast.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

OAUTH2_PROVIDER = {
    "SCOPES": {"mcp:tools": "Use the tools", "write:notes": "Write notes", "openid": "Log in"},
    "OIDC_ENABLED": bool(OPENID_KEY),
    "OIDC_RSA_PRIVATE_KEY": OPENID_KEY,
}
