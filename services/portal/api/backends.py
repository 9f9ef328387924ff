"""Where the services answer that the JSON API calls."""

from headgate.client.tls import ClientTls
from services.portal.api.calls import Services
from services.portal.api.methods import SERVICE_OF
from services.portal.settings import Settings


def services_of(settings: Settings) -> Services:
    """The services at the addresses of the settings. A service without an address is not called."""
    places = {
        "registry": settings.registry,
        "trainer": settings.trainer,
        "evaluator": settings.evaluator,
        "deployer": settings.deployer,
        "gateway": settings.edge,
    }
    found = {service: places[name] for service, name in SERVICE_OF.items() if places[name]}
    if settings.tls_ca is None:
        return Services(found)
    # Services that ask for certificates get the portal's. Whoever shows no token is refused before any call.
    tls = ClientTls(settings.tls_ca, settings.tls_certificate, settings.tls_key)
    return Services(found, tls.credentials)
