"""The chat page's addresses."""

from django.urls import path

from streaming import views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/newest/", views.newest, name="newest"),
    path("r/<uuid:response_id>/rating/", views.rate, name="rate"),
    path("favicon.ico", views.favicon),
]
