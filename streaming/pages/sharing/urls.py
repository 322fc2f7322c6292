"""The addresses of files, links and imports."""

from django.urls import path

from streaming.pages.importing import views as importing
from streaming.pages.sharing import shared, views

urlpatterns = [
    path("c/<uuid:conversation_id>/export/", views.export, name="export_conversation"),
    path("c/<uuid:conversation_id>/print/", views.printed, name="print_conversation"),
    path("c/<uuid:conversation_id>/share/", views.dialog, name="sharing"),
    path("c/<uuid:conversation_id>/share/link/", views.share, name="share_conversation"),
    path("c/<uuid:conversation_id>/share/withdraw/", views.withdraw, name="withdraw_share"),
    path("links/<int:share_id>/withdraw/", views.withdraw_link, name="withdraw_link"),
    path("s/<str:token>/", shared.shared, name="shared"),
    path("import/", importing.import_, name="import"),
]
