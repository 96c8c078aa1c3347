"""The addresses of the console that take part in a login by OpenID Connect."""

LOGIN = "/console/inloggen/"
TO_PROVIDER = "/console/inloggen/oidc/"
BACK = "/console/inloggen/oidc/terug"
