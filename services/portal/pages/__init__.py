"""The pages of the console, each in a module of its own. To add one: its module, its template, and its line here."""

from services.portal.page import Page
from services.portal.pages import compare, fleet, log, model, release, version, why

PAGES: tuple[Page, ...] = (fleet.PAGE, model.PAGE, release.PAGE, version.PAGE, log.PAGE, compare.PAGE, *why.PAGES)
