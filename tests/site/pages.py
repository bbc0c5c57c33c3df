"""The HTML of the site's pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeVar

from tests.site.goods import PEOPLE, PRODUCTS, Product

T = TypeVar("T")

PRODUCTS_A_PAGE = 12
PEOPLE_A_PAGE = 10
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#222;background:#f6f7f9}
header,footer{background:#24304a;color:#fff;padding:12px 24px} header a{color:#cfe;margin-right:14px}
main{max-width:960px;margin:24px auto;padding:24px;background:#fff;border:1px solid #dde}
label{display:block;margin:10px 0 4px} input,select,textarea{font:inherit;padding:6px;min-width:260px}
input[type=checkbox],input[type=radio]{min-width:0} button{font:inherit;padding:8px 18px;margin-top:14px}
table{border-collapse:collapse;width:100%} th,td{border:1px solid #ccd;padding:6px 10px;text-align:left}
.cards{display:grid;grid-template-columns:repeat(3,1fr);gap:16px}.card{border:1px solid #ccd;padding:12px}
.price{font-weight:bold}.error{color:#b00020}.overlay{position:fixed;inset:0;background:#0008;display:grid;
place-items:center}.overlay>div{background:#fff;padding:30px}
"""


def page(title: str, body: str, *, head: str = "", description: str = "") -> str:
    """A whole page with the site's header and footer."""
    about = f'<meta name="description" content="{escape(description)}">' if description else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Sample Shop</title>{about}
<style>{_STYLE}</style>{head}</head>
<body><header><nav aria-label="Main"><a href="/">Home</a><a href="/products">Products</a><a href="/staff">Staff</a>
<a href="/contact">Contact</a><a href="/login">Sign in</a></nav></header>
<main>{body}</main><footer>Sample Shop · 12 Example Street · All rights reserved</footer></body></html>"""


def home() -> str:
    """The front page."""
    return page(
        "Home",
        """<h1>Welcome to the Sample Shop</h1><p>Furniture and lamps, made by hand since 1987.</p>
<ul><li><a href="/products">All products</a></li><li><a href="/staff">Our staff</a></li>
<li><a href="/article">How we dry oak</a></li><li><a href="/download">Price list</a></li></ul>""",
        description="Furniture and lamps, made by hand.",
    )


def login(fault: str = "") -> str:
    """The first step of signing in."""
    shown = f'<p class="error" role="alert">{escape(fault)}</p>' if fault else ""
    return page(
        "Sign in",
        f"""<h1>Sign in</h1>{shown}<form method="post" action="/login">
<label for="email">Email</label><input id="email" name="email" type="email" placeholder="you@example.org">
<label for="password">Password</label><input id="password" name="password" type="password">
<button id="sign-in" type="submit">Sign in</button></form>""",
    )


def code(fault: str = "") -> str:
    """The second step: a one-time code."""
    shown = f'<p class="error" role="alert">{escape(fault)}</p>' if fault else ""
    return page(
        "Two-step verification",
        f"""<h1>Two-step verification</h1>{shown}<form method="post" action="/login/code">
<label for="code">Authentication code</label><input id="code" name="code" inputmode="numeric"
autocomplete="one-time-code">
<button type="submit">Verify</button></form>""",
    )


def account(email: str) -> str:
    """What only somebody signed in sees."""
    return page(
        "Your account",
        f"""<h1>Your account</h1><p id="who">Signed in as {escape(email)}</p>
<form method="post" action="/logout"><button>Sign out</button></form>""",
    )


def contact() -> str:
    """A form with every kind of field."""
    return page(
        "Contact",
        """<h1>Contact us</h1><form method="post" action="/contact" enctype="multipart/form-data">
<label for="name">Full name</label><input id="name" name="name" required>
<label for="mail">E-mail address</label><input id="mail" name="mail" type="email" required>
<label for="topic">Topic</label><select id="topic" name="topic"><option value="">Choose…</option>
<option value="order">An order</option><option value="press">Press</option><option value="other">Something else</option>
</select>
<label for="rooms">Rooms</label><select id="rooms" name="rooms" multiple>
<option>Kitchen</option><option>Bedroom</option><option>Office</option></select>
<fieldset><legend>Answer by</legend><label><input type="radio" name="by" value="mail" checked> E-mail</label>
<label><input type="radio" name="by" value="phone"> Phone</label></fieldset>
<label for="message">Message</label><textarea id="message" name="message" rows="4"></textarea>
<label for="photo">Photo</label><input id="photo" name="photo" type="file">
<label><input id="news" name="news" type="checkbox" value="yes"> Send me the newsletter</label>
<button type="submit">Send message</button></form>""",
    )


def thanks(fields: Mapping[str, str]) -> str:
    """What the form was filled with."""
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in fields.items())
    return page("Thank you", f'<h1>Thank you!</h1><table id="received">{rows}</table>')


def _slice(items: Sequence[T], number: int, size: int) -> tuple[Sequence[T], int]:
    last = -(-len(items) // size)
    return items[(number - 1) * size : number * size], last


def _pager(path: str, number: int, last: int) -> str:
    links = "".join(
        f'<a href="{path}?page={other}" {"aria-current=page" if other == number else ""}>{other}</a> '
        for other in range(1, last + 1)
    )
    before = f'<a rel="prev" href="{path}?page={number - 1}">Previous</a> ' if number > 1 else ""
    after = f'<a rel="next" class="next" href="{path}?page={number + 1}">Next</a>' if number < last else ""
    return f'<nav class="pager" aria-label="Pages">{before}{links}{after}</nav>'


def products(number: int) -> str:
    """A page of product cards, with structured data."""
    shown, last = _slice(PRODUCTS, number, PRODUCTS_A_PAGE)
    cards = "".join(_card(product) for product in shown)
    data = {
        "@context": "https://schema.org",
        "@type": "ItemList",
        "itemListElement": [{"@type": "ListItem", "position": item.number, "name": item.name} for item in shown],
    }
    head = (
        f'<script type="application/ld+json">{json.dumps(data)}</script><meta property="og:title" content="Products">'
    )
    return page(
        f"Products, page {number}",
        f'<h1>Products</h1><div class="cards">{cards}</div>{_pager("/products", number, last)}',
        head=head,
    )


def _card(product: Product) -> str:
    stock = f"{product.stock} in stock" if product.stock else "Sold out"
    return f"""<article class="card product" data-sku="{product.sku}">
<img src="/images/{product.number}.png" alt="" width="40" height="40"><h2><a href="/products/{product.number}">
{escape(product.name)}</a></h2><p class="price">{product.price}</p><p class="stock">{stock}</p>
<p class="rating" aria-label="Rating">{product.rating:.1f} of 5</p></article>"""


def product(item: Product) -> str:
    """One product."""
    data = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": item.name,
        "sku": item.sku,
        "offers": {"@type": "Offer", "price": f"{item.cents / 100:.2f}", "priceCurrency": "USD"},
    }
    return page(
        item.name,
        f"""<h1>{escape(item.name)}</h1><dl><dt>Price</dt><dd class="price">{item.price}</dd><dt>Article number</dt>
<dd>{item.sku}</dd><dt>Rating</dt><dd>{item.rating:.1f}</dd></dl><p>Made of the best there is.</p>
<button>Add to cart</button>""",
        head=f'<script type="application/ld+json">{json.dumps(data)}</script>',
    )


def staff(number: int) -> str:
    """A page of a table."""
    shown, last = _slice(PEOPLE, number, PEOPLE_A_PAGE)
    rows = "".join(
        f"<tr><td>{item.number}</td><td>{escape(item.name)}</td><td>{item.team}</td><td>{item.city}</td>"
        f"<td>{item.salary:,}</td></tr>"
        for item in shown
    )
    return page(
        f"Staff, page {number}",
        f"""<h1>Our staff</h1><table id="staff"><caption>Staff</caption><thead><tr><th>No.</th><th>Name</th>
<th>Team</th><th>City</th><th>Salary</th></tr></thead><tbody>{rows}</tbody></table>{_pager("/staff", number, last)}""",
    )


def article() -> str:
    """A text with much around it."""
    text = "".join(
        f"<p>Paragraph {number}. Oak that is cut in winter dries slowly and evenly; the boards are turned every few "
        f"weeks, and nobody hurries them. After {number} seasons the wood is calm enough for a table.</p>"
        for number in range(1, 7)
    )
    return page(
        "How we dry oak",
        f"""<aside><h2>Newsletter</h2><p>Subscribe now!</p></aside><article><h1>How we dry oak</h1>
<p class="byline">By <span rel="author">Ada Archer</span>, <time datetime="2026-03-14">14 March 2026</time></p>{text}
</article><aside><h2>Read also</h2><ul><li><a href="/">Ten chairs</a></li></ul></aside>""",
        head='<meta property="og:title" content="How we dry oak"><meta property="og:type" content="article">',
    )


def popup() -> str:
    """Opens a window, and a dialog in the page."""
    return page(
        "Offers",
        """<h1>Offers</h1><button id="open" onclick="window.open('/popup/window','offer','width=400,height=300')">
Open the offer</button>
<button id="show" onclick="document.getElementById('box').style.display='grid'">Show the survey</button>
<a id="blank" href="/products" target="_blank">Products in a new tab</a>
<div id="box" class="overlay" style="display:none" role="dialog" aria-label="Survey"><div><p>Do you like us?</p>
<button aria-label="Close" onclick="document.getElementById('box').style.display='none'">×</button></div></div>
<p id="state">Nothing happened yet.</p>""",
    )


def dialogs() -> str:
    """Asks by the browser's own dialogs."""
    return page(
        "Dialogs",
        """<h1>Dialogs</h1><button id="alert" onclick="alert('Hello from the page')">Alert</button>
<button id="confirm" onclick="document.getElementById('answer').textContent=confirm('Delete it?')">Confirm</button>
<p>Answer: <output id="answer">none</output></p>""",
    )


def download() -> str:
    """Links to files."""
    return page(
        "Price list",
        """<h1>Price list</h1><a id="csv" href="/files/prices.csv">Download the price list</a><br>
<a id="shown" href="/files/report.pdf" download>Download the report</a>""",
    )


def frames() -> str:
    """A button in a frame."""
    return page("Frames", '<h1>Frames</h1><iframe id="inner" src="/frames/inner" width="500" height="200"></iframe>')


def late() -> str:
    """Content that comes after the page."""
    return page(
        "Late",
        """<h1>Late</h1><div id="place"><p>Loading…</p></div><script>
fetch('/late/data').then(answer=>answer.json()).then(data=>{document.getElementById('place').innerHTML=
'<p id="done">Loaded '+data.count+' things</p><button>Continue</button>'})</script>""",
    )


def busy() -> str:
    """A button after which the page never answers again."""
    return page("Busy", '<h1>Busy</h1><button id="hang" onclick="for(;;){}">Work for ever</button>')


def scrolling() -> str:
    """A long page that grows at its end."""
    lines = "".join(f"<p class='line'>Line {number}</p>" for number in range(1, 101))
    return page(
        "Long",
        f"""<h1>A long page</h1><div id="lines">{lines}</div><p id="end">The end</p><script>
let more=0;new IntersectionObserver(seen=>{{if(seen[0].isIntersecting&&more<1){{more++;
const p=document.createElement('p');p.id='extra';p.textContent='One more line';
document.getElementById('lines').append(p)}}}}).observe(
document.getElementById('end'))</script>""",
    )


def storage(cookies: str) -> str:
    """Shows what the browser keeps for the site."""
    return page(
        "Storage",
        f"""<h1>Storage</h1><p>Cookies sent: <output id="cookies">{escape(cookies)}</output></p>
<p>Local storage: <output id="local"></output></p><script>
document.getElementById('local').textContent=JSON.stringify(localStorage)</script>""",
    )


def storing(value: str) -> str:
    """Keeps a value in local storage, session storage and IndexedDB (the cookie comes as a header)."""
    return page(
        "Storing",
        f"""<h1>Stored</h1><script>localStorage.setItem('mark',{json.dumps(value)});
sessionStorage.setItem('mark',{json.dumps(value)});document.title='stored'</script>""",
    )


def escapes(private: str) -> str:
    """Tries to reach a private address, ``host:port``, in every way that a page has."""
    return page(
        "Escapes",
        f"""<h1>Escapes</h1><img src="http://{private}/image" alt=""><iframe src="http://{private}/frame"></iframe>
<iframe src="/escapes/redirect?to=http://{private}/redirected-frame"></iframe>
<img src="/escapes/redirect?to=http://{private}/redirected-image" alt="">
<link rel="stylesheet" href="http://{private}/style"><script src="http://{private}/script"></script>
<output id="done"></output><script>
const tried=['fetch','xhr','beacon','websocket','secure websocket','event source','worker'];
const socket=(scheme)=>new Promise(done=>{{const it=new WebSocket(scheme+'://{private}/'+scheme);it.onopen=()=>done('open');
it.onerror=()=>done('refused')}});
(async()=>{{const said=[];
said.push(await fetch('http://{private}/fetch').then(a=>'open '+a.status,()=>'refused'));
said.push(await fetch('/escapes/redirect?to=http://{private}/redirected-fetch')
.then(a=>'open '+a.status,()=>'refused'));
said.push(await fetch('https://{private}/secure-fetch',{{mode:'no-cors'}}).then(a=>'open '+a.status,()=>'refused'));
said.push(await socket('ws'));said.push(await socket('wss'));
navigator.sendBeacon('http://{private}/beacon','x');
const peers=new RTCPeerConnection({{iceServers:[{{urls:'stun:{private}'}}]}});peers.createDataChannel('x');
const gathered=new Promise(done=>{{peers.onicecandidate=e=>e.candidate||done();setTimeout(done,2000)}});
await peers.setLocalDescription();await gathered;
document.getElementById('done').textContent=said.join(', ')}})()</script>""",
    )


def crash() -> str:
    """Asks for more memory than a renderer gets, once its button is pressed."""
    return page(
        "Crash",
        """<h1>Crash</h1><button id="crash"
onclick="const kept=[];for(;;)kept.push(new Array(1e7).fill(1.5+kept.length))">
Take the page down</button>""",
    )
