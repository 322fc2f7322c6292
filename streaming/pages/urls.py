"""The chat page's addresses, and what every page needs."""

from django.urls import include, path

from streaming.pages import drawer, files, installing, instructions, preferences, views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("drawer/", drawer.drawer, name="drawer"),
    path("instructions/", instructions.of_account, name="instructions"),
    path(
        "c/<uuid:conversation_id>/instructions/",
        instructions.of_conversation,
        name="conversation_instructions",
    ),
    path("files/", files.upload, name="files"),
    path("files/<uuid:file_id>/", files.download, name="file"),
    path("files/<uuid:file_id>/remove/", files.remove, name="remove_file"),
    path("preferences/", preferences.choose, name="preferences"),
    path("jsi18n/<str:language>/", preferences.Catalog.as_view(), name="jsi18n"),
    path("c/<uuid:conversation_id>/newest/", views.newest, name="newest"),
    path("r/<uuid:response_id>/rating/", views.rate, name="rate"),
    path("favicon.ico", views.favicon),
    path("manifest/<str:language>.webmanifest", installing.manifest, name="manifest"),
    path("offline/<str:language>/", installing.offline, name="offline"),
    path("service-worker.js", installing.service_worker, name="service_worker"),
    path("", include("streaming.pages.sharing.urls")),
]
