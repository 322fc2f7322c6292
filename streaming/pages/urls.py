"""The chat page's addresses, and what every page needs."""

from django.urls import path

from streaming.pages import preferences, views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("preferences/", preferences.choose, name="preferences"),
    path("jsi18n/<str:language>/", preferences.Catalog.as_view(), name="jsi18n"),
    path("c/<uuid:conversation_id>/newest/", views.newest, name="newest"),
    path("r/<uuid:response_id>/rating/", views.rate, name="rate"),
    path("favicon.ico", views.favicon),
]
