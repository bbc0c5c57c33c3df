"""Twenty everyday pages on a real server, and what plain words mean on each of them.

An element that words should lead to says so in its ``data-is``. ``None`` as the answer: unclear, and so refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.workers.peers import Exchange, Peer, running_peer
from workers.browser.targets import Wants

PAGES = Path(__file__).parents[2] / "site" / "everyday"

Case = tuple[str, Wants, str | None, str | None]
"""Words, what is to be done, the element's mark, the value that the words name."""

CASES: dict[str, list[Case]] = {
    "shop": [
        ("type desk lamp into the search box", "type", "search", "desk lamp"),
        ("click the Search button", "click", "search-go", None),
        ("open the cart", "click", "cart", None),
        ("choose Price: low to high as the sort order", "select", "sort", "Price: low to high"),
        ("add the Blue Lamp to the cart", "click", "add-blue", None),
        ("click Add to cart in the Red Lamp card", "click", "add-red", None),
        ("click the third Add to cart button", "click", "add-green", None),
        ("click Add to cart", "click", None, None),
        ("add the Green Lamp to the wishlist", "click", "wish-green", None),
        ("set the quantity to 3 ", "type", None, None),
        ("type 3 into the quantity field in the Blue Lamp card", "type", "qty-blue", "3"),
        ("go to the next page", "click", "next", None),
        ("click the Imprint link in the footer", "click", "imprint", None),
        ("add the Purple Lamp to the cart", "click", None, None),
        ("click the checkout button", "click", None, None),
    ],
    "login": [
        ("type jane@example.org into the email field", "type", "email", "jane@example.org"),
        ("fill in the password with tr0ub4dor", "type", "password", "tr0ub4dor"),
        ("check remember me", "check", "remember", "true"),
        ("click the Sign in button", "click", "signin", None),
        ("log in", "click", None, None),
        ("click Sign in in the header", "click", "header-signin", None),
        ("sign in with Google", "click", "google", None),
        ("click the forgot password link", "click", "forgot", None),
        ("show the password", "click", "show-password", None),
        ("click the register link", "click", "signup", None),
        ("type 123456 into the one-time code field", "type", None, "123456"),
    ],
    "search_results": [
        ('type "bike tubes" into the search field', "type", "q", "bike tubes"),
        ("open Brake adjustment guide", "click", "r2", None),
        ("click the Cached link of Fixing a flat tyre", "click", "cached-1", None),
        ("click the last Cached link", "click", "cached-3", None),
        ("click Cached", "click", None, None),
        ("go to the next page", "click", "next", None),
        ("go to page 3", "click", "p3", None),
        ("switch to images", "click", "images", None),
        ("click the Videos link", "click", None, None),
    ],
    "orders_table": [
        ("click Edit in the row of Bob Stone", "click", "edit-bob", None),
        ("delete the order of Cara Lind", "click", "delete-cara", None),
        ("click the first Delete button", "click", "delete-anna", None),
        ("click Edit", "click", None, None),
        ("click Delete in the row of Dora", "click", None, None),
        ("click Export CSV", "click", "export", None),
        ("click the second row", "click", None, None),
        ("delete all orders", "click", None, None),
        ("sort by customer", "click", "sort-customer", None),
        ("type Anna into the filter", "type", "filter", "Anna"),
    ],
    "cookie_banner": [
        ("accept the cookies", "click", "accept", None),
        ("accept all cookies", "click", "accept", None),
        ("reject cookies", "click", "reject", None),
        ("type Graz into the place field", "type", "place", "Graz"),
        ("show the forecast", "click", "show", None),
        ("read the cookie policy", "click", "policy", None),
    ],
    "modal": [
        ("click Delete", "click", "delete", None),
        ("cancel", "click", "cancel", None),
        ("close the dialog", "click", "close", None),
        ("type Apollo into the project name", "type", "confirm-name", "Apollo"),
        ("click New project", "click", None, None),
    ],
    "wizard": [
        ("type Jane into the first name field", "type", "first", "Jane"),
        ("enter Doe as last name", "type", "last", "Doe"),
        ("set the date of birth to 1990-02-03", "type", "birth", "1990-02-03"),
        ("select Ms", "check", "ms", "true"),
        ("choose Germany as country", "select", "country", "Germany"),
        ("choose Spain as nationality", "select", "nationality", "Spain"),
        ("choose Germany", "select", None, None),
        ("click Continue", "click", "continue", None),
        ("go back", "click", "back", None),
        ("save and finish later", "click", "later", None),
        ("click the Finish button", "click", None, None),
    ],
    "settings": [
        ("click Edit in the Billing section", "click", "edit-billing", None),
        ("click the Edit button under Profile", "click", "edit-profile", None),
        ("click Edit", "click", None, None),
        ("turn on dark mode", "check", "dark", "true"),
        ("turn the weekly report off", "check", "weekly", "false"),
        ("enable Send invoices by e-mail", "check", "invoice", "true"),
        ("set the frequency to Never", "select", "frequency", "Never"),
        ("save the changes", "click", "save", None),
        ("delete my account", "click", "delete-account", None),
        ("turn on airplane mode", "check", None, None),
        ("click Edit in the Danger zone", "click", None, None),
        ("change the frequency to Monthly", "select", None, None),
    ],
    "date_picker": [
        ("type 12.05.2027 into the arrival field", "type", "arrival", "12.05.2027"),
        ("enter 21.05.2027 as departure", "type", "departure", "21.05.2027"),
        ("open the calendar for departure", "click", "open-departure", None),
        ("go to the next month", "click", "next-month", None),
        ("click 21", "click", "d21", None),
        ("set guests to 4", "type", "guests", "4"),
        ("check availability", "click", "check", None),
        ("open the calendar", "click", None, None),
    ],
    "files": [
        ("upload invoice.pdf", "upload", "upload", "invoice.pdf"),
        ("download budget.xlsx", "click", "download-budget", None),
        ("click Rename next to photo.png", "click", "rename-photo", None),
        ("create a new folder", "click", "new-folder", None),
        ("click Download", "click", None, None),
        ("download slides.pptx", "click", None, None),
    ],
    "forum": [
        ("reply to Tom", "click", "reply-tom", None),
        ("like the post by Maria", "click", "like-maria", None),
        ("click the last Report button", "click", "report-ola", None),
        ("click Like", "click", None, None),
        ("unlike Tom's post", "click", None, None),
        ("type Thank you into the answer field", "type", "answer", "Thank you"),
        ("post the answer", "click", "post", None),
    ],
    "news": [
        ("read the headline", "read", "headline", None),
        ("scroll to Read more", "scroll", "more", None),
        ("open The river through the centuries", "click", "river", None),
        ("type jane@example.org into the newsletter e-mail field", "type", "newsletter-email", "jane@example.org"),
        ("subscribe to the newsletter", "click", "subscribe", None),
        ("unsubscribe from the newsletter", "click", None, None),
        ('type "Well done" into the comment field', "type", "comment", "Well done"),
        ("open the sport section", "click", "sport", None),
        ("click Unsubscribe from everything", "click", None, None),
    ],
    "checkout": [
        ("type High St 1 into the street field in the Billing address section", "type", "bill-street", "High St 1"),
        ("type Vienna into city under Shipping address", "type", "ship-city", "Vienna"),
        ("choose Germany as country in the shipping address", "select", "ship-country", "Germany"),
        ("type Vienna into the city field", "type", None, "Vienna"),
        ("type 1010 into the first postcode field", "type", "ship-zip", "1010"),
        ("pay by invoice", "click", "invoice", None),
        ("type SUMMER into the voucher code", "type", "voucher", "SUMMER"),
        ("accept the terms and conditions", "check", "terms", "true"),
        ("place the order", "click", "order", None),
    ],
    "map": [
        ("type Opera into the search field", "type", None, "Opera"),
        ("type Opera into Find a place", "type", "find", "Opera"),
        ("click City Museum", "click", "museum", None),
        ("get directions to Café Central", "click", "to-cafe", None),
        ("zoom in", "click", "zoom-in", None),
        ("click my location", "click", "locate", None),
        ("show traffic", "check", "traffic", "true"),
        ("zoom", "click", None, None),
    ],
    "tabs": [
        ("open the Contacts tab", "click", "tab-contacts", None),
        ("click the Invoices tab", "click", "tab-invoices", None),
        ("open the invoices of this year", "click", "link-invoices", None),
        ("add a note", "click", "add-note", None),
        ("open the Actions menu", "click", "actions", None),
        ("open the Payments tab", "click", None, None),
    ],
    "tree": [
        ("open docs", "click", "docs", None),
        ("select main.py", "click", "main", None),
        ("collapse all", "click", "collapse", None),
        ("create a new file", "click", "new-file", None),
        ("open the build folder", "click", None, None),
    ],
    "duplicates": [
        ("click Edit", "click", None, None),
        ("click the second Edit button", "click", "edit-2", None),
        ("click Save", "click", None, None),
        ("click Save draft", "click", "save-draft", None),
        ("click Read more", "click", "more-1", None),
        ("click Details", "click", None, None),
        ("click the last Details link", "click", "details-2", None),
        ("type hello", "type", None, "hello"),
        ("click the fifth Edit button", "click", None, None),
    ],
    "icons": [
        ("compose", "click", "compose", None),
        ("click the archive icon", "click", "archive", None),
        ("mark as spam", "click", "spam", None),
        ("delete", "click", "trash", None),
        ("move to trash", "click", "trash", None),
        ("open the settings", "click", "gear", None),
        ("open the menu", "click", "menu", None),
        ("click the star", "click", "star", None),
        ("click the help widget", "click", "help", None),
        ("click print", "click", None, None),
    ],
    "german": [
        ("type Jane into Vorname", "type", "vorname", "Jane"),
        ("type Doe into the last name field", "type", "nachname", "Doe"),
        ("type jane@example.org into the email field", "type", "email", "jane@example.org"),
        ("type s3cret into the password field", "type", "passwort", "s3cret"),
        ("choose Österreich as country", "select", "land", "Österreich"),
        ("click the sign in link", "click", "anmelden", None),
        ("click Weiter", "click", "weiter", None),
        ("cancel", "click", "abbrechen", None),
        ("open the shopping cart", "click", "warenkorb", None),
        ("agree to the general terms", "check", None, "true"),
    ],
    "frames": [
        ("type 4242 into the card number field", "type", "number", "4242"),
        ("type 123 into CVC in the secure card entry frame", "type", "cvc", "123"),
        ("click Verify card", "click", "verify", None),
        ("type Jane Doe into name on card", "type", "name", "Jane Doe"),
        ("type GIFT into the gift code", "type", "gift", "GIFT"),
        ("click Pay now", "click", "pay", None),
        ("click Donate", "click", None, None),
    ],
}  # fmt: skip


MODEL_CASES: dict[str, tuple[str, Wants, str | None, str | None]] = {
    "shop": ("put the cheapest lamp into the cart", "click", "button 'Add to cart' in 'Blue Lamp'", "add-blue"),
    "login": ("let me in", "click", "button 'Sign in'", "signin"),
    "search_results": ("open the result about what stops a bike", "click", "link 'Brake adjustment", "r2"),
    "orders_table": ("edit the largest order", "click", "near '1002 Bob Stone", "edit-bob"),
    "cookie_banner": ("agree to being tracked", "click", "button 'Accept all'", "accept"),
    "modal": ("get rid of Apollo", "click", "button 'Delete'", "delete"),
    "wizard": ("say that I live in Germany", "select", "'Country of residence'", "country"),
    "settings": ("make the screen easier on the eyes", "check", "switch 'Dark mode'", "dark"),
    "date_picker": ("say that we leave on 21.05.2027", "type", "'Departure'", "departure"),
    "files": ("fetch the spreadsheet", "click", "near 'budget.xlsx", "download-budget"),
    "forum": ("write back to whoever uses flux", "click", "button 'Reply' in 'Post by Tom", "reply-tom"),
    "news": ("hear it instead of reading it", "click", "button 'Listen", "listen"),
    "checkout": ("buy it", "click", "button 'Place order'", "order"),
    "map": ("where am I", "click", "title='My location'", "locate"),
    "tabs": ("show what they owe us", "click", "tab 'Invoices'", "tab-invoices"),
    "tree": ("close every folder", "click", "button 'Collapse all'", "collapse"),
    "duplicates": ("change the request", "click", None, None),
    "icons": ("write a new message", "click", "button 'Compose'", "compose"),
    "german": ("agree to the general terms", "check", "Ich stimme", "agb"),
    "frames": ("enter the security code 123", "type", "'CVC'", "cvc"),
}
"""Words that only a model can bring to an element of the page: the words, what is to be done, a part of the line that
the model chooses (None: it says that it cannot tell), and the element's mark.
"""


@contextmanager
def serving_pages() -> Iterator[Peer]:
    """Each page at its own name."""
    with running_peer() as peer:
        for page in PAGES.glob("*.html"):
            peer.route(f"/{page.stem}", _serve(page.read_bytes()))
        yield peer


def _serve(body: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.reply(200, body, content_type="text/html; charset=utf-8")
