"""The addresses of the side list, below `/conversations/`."""

from django.urls import path

from streaming.pages.conversations import views

urlpatterns = [
    path("", views.conversations, name="conversations"),
    path("<uuid:conversation_id>/rename/", views.rename, name="rename_conversation"),
    path("<uuid:conversation_id>/keep/", views.keep, name="keep_conversation"),
    path("states/", views.states, name="conversation_states"),
    path("<uuid:conversation_id>/delete/", views.delete, name="delete_conversation"),
]
