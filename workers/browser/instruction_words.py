"""Words as they are compared: without case, accents, endings of the plural, and signs turned into what they mean."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

STOP = frozenset(
    (
        *("a", "an", "the", "this", "that", "these", "those", "my", "your", "our", "its", "to", "of", "and", "please"),
        *("there", "here", "is", "are", "it", "with", "by", "at", "s", "on"),
    )
)
"""Words that tell nothing about which element is meant."""
FAINT = frozenset(
    {"page", "section", "site", "website", "item", "option", "now", "window", "screen", "area", "one", "app"}
)
"""Words that tell a little."""
_SIGNS = {
    "×": " close ", "✕": " close ", "✖": " close ", "✗": " close ", "›": " next ", "»": " next ", "→": " next ",
    "‹": " previous ", "«": " previous ", "←": " previous ", "☰": " menu ", "🔍": " search ", "⚙": " settings ",
    "🗑": " delete ", "✎": " edit ", "✏": " edit ", "🛒": " cart ", "♥": " favorite ", "★": " star ", "&": " and ",
}  # fmt: skip

# One meaning a line, the spellings apart by "|". The first is the one that the others are turned into. Names of buttons
# and fields that stand in most applications, and in the languages that the pages of Western Europe have.
_MEANINGS = """
sign in|log in|login|signin|log on|anmelden|einloggen|se connecter|connexion|iniciar sesion|accedi|inloggen|entrar
sign out|log out|logout|signout|log off|abmelden|ausloggen|se deconnecter|deconnexion|cerrar sesion|esci|uitloggen
sign up|register|create account|create an account|registrieren|s inscrire|registrarse|registrati
accept|agree|allow|akzeptieren|zustimmen|annehmen|accepter|aceptar|accetta|accepteren
reject|decline|refuse|deny|ablehnen|refuser|rechazar|rifiuta|weigeren
all|alle|tout|tous|todo|todas|todos|tutti
close|dismiss|schliessen|fermer|cerrar|chiudi|sluiten
next|weiter|nachste|suivant|siguiente|avanti|successivo|volgende
previous|prev|back|zuruck|precedent|anterior|indietro|vorige
search|suche|suchen|recherche|rechercher|buscar|cerca|zoeken
submit|send|absenden|senden|abschicken|envoyer|enviar|invia|verzenden
save|speichern|enregistrer|guardar|salva|opslaan
delete|remove|trash|loschen|entfernen|supprimer|eliminar|elimina|verwijderen
cancel|abbrechen|annuler|cancelar|annulla|annuleren
edit|bearbeiten|modifier|editar|modifica|bewerken
email|e mail|mail|email address|e mail address|mail address|e mail adresse|correo
password|passwort|kennwort|mot de passe|contrasena|wachtwoord
user name|username|benutzername|nom d utilisateur|usuario
first name|given name|forename|vorname|prenom|nombre
last name|surname|family name|nachname|nom de famille|apellido|apellidos
phone|telephone|phone number|telefon|telefono|telefoon
country|land|pays|pais|paese
city|town|stadt|ort|ville|ciudad|citta
street|strasse|rue|calle
zip code|zip|postcode|postal code|post code|plz|postleitzahl|code postal
cart|basket|shopping cart|shopping bag|warenkorb|panier|carrito|carrello|winkelwagen
add|hinzufugen|ajouter|anadir|aggiungi|toevoegen
checkout|check out|zur kasse|commander
quantity|qty|menge|quantite|cantidad
download|herunterladen|telecharger|descargar|scarica
settings|preferences|einstellungen|parametres|ajustes|impostazioni
favorite|favourite|wishlist|wish list
cookie|cookies|consent
"""


_MISSPELLED = 0.8
_SLIPS_FROM = 6


def _stem(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-2] + "y" if len(word) > 3 and word.endswith("ie") else word


@lru_cache(4096)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in order: casefolded, without accents, signs as words, plurals as singulars."""
    for sign, meaning in _SIGNS.items():
        text = text.replace(sign, meaning)
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text.replace("_", " ").replace("’", "'"))
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return tuple(_stem(word) for word in re.findall(r"\w+", plain))


def _meanings() -> dict[tuple[str, ...], tuple[str, ...]]:
    table = {}
    for line in _MEANINGS.strip().splitlines():
        first, *others = line.split("|")
        for other in others:
            table[words(other)] = words(first)
    return table


_TABLE = _meanings()
_LONGEST = max(map(len, _TABLE))


@lru_cache(4096)
def meaning(found: tuple[str, ...]) -> tuple[str, ...]:
    """The words with every known spelling of a meaning turned into its first one."""
    turned: list[str] = []
    place = 0
    while place < len(found):
        for length in range(min(_LONGEST, len(found) - place), 0, -1):
            known = _TABLE.get(found[place : place + length])
            if known is not None:
                turned += known
                place += length
                break
        else:
            turned.append(found[place])
            place += 1
    return tuple(turned)


def telling(found: tuple[str, ...]) -> tuple[str, ...]:
    """The words that tell something; all of them, if none does."""
    return tuple(word for word in found if word not in STOP) or found


@lru_cache(16384)
def alike(one: str, other: str) -> float:
    """1 for the same word, less for one that is likely misspelled, 0 for another one.

    A slip is one letter more, less, other, or two swapped, in a long word and not in its first letter: "unsubscribe"
    is no slip of "subscribe", nor is "prize" one of "price".
    """
    if one == other:
        return 1.0
    if min(len(one), len(other)) < _SLIPS_FROM or one[0] != other[0] or one.isdecimal() or other.isdecimal():
        return 0.0
    return _MISSPELLED if _one_slip(one, other) else 0.0


def _one_slip(one: str, other: str) -> bool:
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    at = next((place for place, letter in enumerate(one) if letter != other[place]), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[at + 1 : at + 2] + one[at : at + 1]
    return one[at + 1 :] == other[at + 1 :] or (other[at : at + 2] == swapped and one[at + 2 :] == other[at + 2 :])
