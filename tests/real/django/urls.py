"""As the toolkit's documentation mounts it: below `o/`, and its RFC 8414 document at the root of the host."""

from django.urls import include, path
from oauth2_provider import urls

urlpatterns = [
    path("o/", include(urls)),
    path("", include((urls.metadata_urlpatterns, "metadata"))),
]
