"""The site's addresses: the chat page with its accounts, the API and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("streaming.accounts.urls")),
    path("conversations/", include("streaming.pages.conversations.urls")),
    path("v1/", include("streaming.api.urls")),
    path("", include("streaming.pages.urls")),
]
