"""The channels that device exports and tables know, each with its unit and the values that can be true."""

import re
import unicodedata

from careplan.therapy import Channel

DEVICE_CHANNELS: tuple[Channel, ...] = (
    Channel(name="glucose", unit="mg/dL", role="observation", form="level", low=20, high=600, center=140, scale=60),
    Channel(name="basal", unit="U/h", role="action", form="rate", low=0, high=35, scale=1.0, direction=-1, charted=False),
    Channel(name="bolus", unit="U", role="action", form="impulse", low=0, high=60, scale=2.0, direction=-1),
    Channel(
        name="long_acting",
        unit="U",
        role="action",
        form="impulse",
        low=0,
        high=150,
        scale=20.0,
        direction=-1,
        silence=36 * 60.0,  # given once a day
    ),
    Channel(name="carbs", unit="g", role="disturbance", form="impulse", low=0, high=400, scale=20.0, direction=1),
    Channel(name="activity", unit="MET", role="disturbance", form="rate", low=0, high=25, center=1.0, scale=3.0, charted=False),
)

# MET of exercise told in words: within light (1.6-2.9), moderate (3.0-5.9) and vigorous (6.0-8.7) of the ACSM's position stand
# (Garber 2011, doi 10.1249/MSS.0b013e318213fefb).
INTENSITY = {"light": 2.5, "moderate": 4.5, "vigorous": 7.0}
# How people and devices say how hard it was, without accents; "moderate" is what nothing says.
WORDS = {
    "light": "light mild low leicht niedrig gering licht laag latt lag leggera bassa ligera baja legere leve",
    "vigorous": "vigorous high hard heavy intense intensiv hoch schwer stark zwaar hoog intensief hog alta intensa",
}
EFFORT = {word: effort for effort, words in WORDS.items() for word in words.split()}


def met_of(text: str) -> float:
    """The MET of exercise told in words: by the first word that says how hard it was, else as moderate."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter))
    return INTENSITY[next((EFFORT[word] for word in re.findall(r"\w+", plain) if word in EFFORT), "moderate")]


def channel_of(name: str) -> Channel:
    """A channel by name; raises `KeyError` where there is none."""
    found = {channel.name: channel for channel in DEVICE_CHANNELS}
    if name not in found:
        raise KeyError(f"no channel {name!r}; there are {tuple(found)}")
    return found[name]
