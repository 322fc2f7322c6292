"""The admin as a site of its own, ChatStream's console: its name and its navigation.

A Django project that embeds the app keeps its own admin site, where it finds the same pages. One
that wants the console has `streaming.console.site.ConsoleConfig` in INSTALLED_APPS in place of
`django.contrib.admin`, and the folder `templates/console` in DIRS. Knows no page's insides.
"""
