"""Django settings, all from the environment; the defaults are safe and need no other server.

`REDIS_URL` switches to the distributed deployment, `DATABASE_URL` to another database.
"""

import os
from pathlib import Path

from csp.constants import NONE, SELF
from django.conf.global_settings import PASSWORD_HASHERS
from django.core.exceptions import ImproperlyConfigured
from platformdirs import user_data_path

from chatsite import databases, environment, mail
from chatsite.secret import read_or_create_secret
from streaming import conf

BASE_DIR = Path(__file__).resolve().parent.parent
# A wheel carries the pages inside the app, and nothing is written beside installed code.
_is_checkout = not (BASE_DIR / "streaming" / "templates").is_dir()
_pages = BASE_DIR if _is_checkout else BASE_DIR / "streaming"
_default_data_dir = BASE_DIR / "data" if _is_checkout else user_data_path("chatstream")

env = environment.env
_data_dir = env.str("CHATSTREAM_DATA_DIR", default="").strip()
DATA_DIR = Path(_data_dir).expanduser().absolute() if _data_dir else _default_data_dir


DEBUG = environment.flag("DEBUG")
REDIS_URL = env.str("REDIS_URL", default="")
_redis = environment.redis_address(REDIS_URL)
DATABASE_URL = env.str("DATABASE_URL", default="")
LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = environment.choice("LOG_FORMAT", "plain", ("plain", "json"))

SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if REDIS_URL:
        raise ImproperlyConfigured(
            "SECRET_KEY is required together with REDIS_URL: all processes must share one. "
            'Make one with: python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    environment.make_data_dir(DATA_DIR)
    SECRET_KEY = read_or_create_secret(DATA_DIR / "secret_key")

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

CHATSTREAM = conf.from_environ(os.environ)

# streaming stands first: its runserver and runworker extend daphne's and channels' own.
INSTALLED_APPS = [
    "streaming",
    "daphne",
    "channels",
    "streaming.console.site.ConsoleConfig",  # Django's admin, as the console
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "corsheaders",
]

MIDDLEWARE = [
    # Before all others: a probe knows neither host name nor HTTPS.
    "streaming.deployment.probes.probes",
    "streaming.api.middleware.api_answers",
    "corsheaders.middleware.CorsMiddleware",
    "streaming.deployment.hosts.known_host",
    "django.middleware.security.SecurityMiddleware",
    # Before the policies of pages, which say nothing about fifty scripts and styles.
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "streaming.pages.middleware.permissions_policy",
    "streaming.accounts.middleware.session_use",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "streaming.pages.middleware.visitor_cookie",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "chatsite.urls"
ASGI_APPLICATION = "chatsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_pages / "templates" / "console", _pages / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "streaming.pages.preferences.context",
            ],
        },
    },
]

if not DATABASE_URL:
    environment.make_data_dir(DATA_DIR)
DATABASES = {"default": databases.database(DATABASE_URL, DATA_DIR / "db.sqlite3")}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "streaming.waiting_list.channel_layers.RedisChannelLayer",
            "CONFIG": {
                "hosts": [REDIS_URL],
                "prefix": CHATSTREAM.get("prefix", conf.DEFAULT_REDIS_PREFIX),
                "site": "streaming.record.site.read_site_id",
            },
        }
    }
else:
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "streaming.waiting_list.channel_layers.MemoryChannelLayer"}
    }

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["streaming.accounts.backend.LimitedBackend"]
PASSWORD_HASHERS = [
    "streaming.accounts.hashing.BoundedPBKDF2PasswordHasher",
    *(name for name in PASSWORD_HASHERS if not name.endswith(".PBKDF2PasswordHasher")),
]
_mail = mail.mail_settings(
    env.str("EMAIL_URL", default=""), env.str("DEFAULT_FROM_EMAIL", default=""), debug=DEBUG
)
globals().update(_mail)

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "chat"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_SAMESITE = "Lax"
LOCALE_PATHS = [_pages / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
# Beside the data, where that is elsewhere: the checkout may be for reading only.
STATIC_ROOT = (DATA_DIR if _data_dir or not _is_checkout else BASE_DIR) / "staticfiles"
STATICFILES_DIRS = [_pages / "static"] if _is_checkout else []  # else found as the app's
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "streaming.deployment.static_files.HashedStorage"},
    "chatstream": environment.file_storage(DATA_DIR / "files"),
}
SERVESTATIC_USE_FINDERS = True  # served, under plain names, without a collectstatic step
SERVESTATIC_KEEP_ONLY_HASHED_FILES = True  # the plain ones are where they were

SESSION_COOKIE_AGE = 60 * 60 * 24 * 365
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # an operator may select thousands of responses

# Everything comes from our own host. `connect-src 'self'` covers WebSockets to it in Chromium,
# Firefox, and Safari from 15.4 on; the host's name, which older ones need, is not known here.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# Who is let in is CHATSTREAM_CORS_ORIGINS' to say, see streaming.api.cors; no path is open by
# itself. The client libraries send headers of their own, which change.
CORS_URLS_REGEX = r"(?!)"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST", "OPTIONS"]
CORS_ALLOW_HEADERS = ["*", "authorization", "content-type"]
CORS_EXPOSE_HEADERS = ["x-request-id", "x-response-id", "retry-after", "x-should-retry"]
CORS_PREFLIGHT_MAX_AGE = 3600

HTTPS = environment.flag("HTTPS")
if HTTPS:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    LANGUAGE_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 60 * 60 * 24 * 30
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Other names below ours, and the browsers' preload list, are not for us to decide.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

_secrets = [SECRET_KEY, str(DATABASES["default"].get("PASSWORD") or "")]
_secrets += [CHATSTREAM.get("metrics_token", ""), CHATSTREAM.get("upstream_key", "")]
_secrets += [_mail.get("EMAIL_HOST_PASSWORD", "")]
_secrets += _redis.secrets if _redis else ()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "streaming.monitoring.logs.PlainFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "secrets": _secrets,
        },
        "json": {"()": "streaming.monitoring.logs.JsonFormatter", "secrets": _secrets},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "streaming": {"level": LOG_LEVEL},
        # A traceback for every attempt to reconnect; our own operations say what is wrong.
        "channels_redis.pubsub": {"level": "CRITICAL"},
        # Ours alone, which hides secrets and escapes what strangers send.
        "django": {"handlers": []},
        "django.server": {"handlers": [], "propagate": True},
    },
}
