"""The addresses of accounts, below `/accounts/`."""

from django.urls import path

from streaming.accounts import instructions, views

urlpatterns = [
    path("", views.account, name="account"),
    path("login/", views.SignIn.as_view(), name="login"),
    path("logout/", views.SignOut.as_view(), name="logout"),
    path("signup/", views.SignUp.as_view(), name="signup"),
    path("password/", views.ChangePassword.as_view(), name="password_change"),
    path("instructions/", instructions.save, name="account_instructions"),
    path("keys/", views.create_key, name="create_key"),
    path("keys/<int:key_id>/revoke/", views.revoke_key, name="revoke_key"),
    path("conversations/delete/", views.delete_all, name="delete_all"),
]
