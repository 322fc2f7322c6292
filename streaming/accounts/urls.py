"""The addresses of accounts, below `/accounts/`."""

from django.urls import path

from streaming.accounts import (
    account_page,
    email_views,
    instructions,
    leaving_views,
    session_views,
    views,
)

urlpatterns = [
    path("", account_page.account, name="account"),
    path("login/", views.SignIn.as_view(), name="login"),
    path("logout/", views.SignOut.as_view(), name="logout"),
    path("signup/", views.SignUp.as_view(), name="signup"),
    path("password/", views.ChangePassword.as_view(), name="password_change"),
    path("instructions/", instructions.save, name="account_instructions"),
    path("password/forgotten/", email_views.ForgotPassword.as_view(), name="password_reset"),
    path(
        "password/forgotten/mailed/",
        email_views.ForgotPasswordDone.as_view(),
        name="password_reset_done",
    ),
    path(
        "password/new/<uidb64>/<token>/",
        email_views.NewPassword.as_view(),
        name="password_reset_confirm",
    ),
    path("email/", email_views.email, name="email"),
    path("email/confirm/<str:token>/", email_views.confirm_email, name="email_confirm"),
    path("keys/", account_page.create_key, name="create_key"),
    path("keys/<int:key_id>/revoke/", account_page.revoke_key, name="revoke_key"),
    path("sessions/<int:session_id>/end/", session_views.end_session, name="end_session"),
    path("sessions/end/", session_views.end_others, name="end_other_sessions"),
    path("conversations/delete/", views.delete_all, name="delete_all"),
    path("download/", leaving_views.download, name="download_account"),
    path("delete/", leaving_views.delete, name="delete_account"),
]
