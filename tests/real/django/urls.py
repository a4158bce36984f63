"""The URLs from the toolkit's documentation: the toolkit below `o/`, and its RFC 8414 document at the root."""

from django.urls import include, path
from oauth2_provider import urls

urlpatterns = [
    path("o/", include(urls)),
    path("", include((urls.metadata_urlpatterns, "metadata"))),
]
