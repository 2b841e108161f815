"""What the pages behind the IO dictionary leave out of a row, or have only in a sentence.

`avl_ids.csv` keeps what the tables say. Nothing stands here that is not certain.
"""

from teltonika.codecs.io_catalog import IoDescription, IoType

_WITHOUT_A_MULTIPLIER: dict[str, dict[str, tuple[str, ...]]] = {
    "°C": {
        "0.1": (
            *(f"Dallas Temperature {number}" for number in range(1, 7)),
            "PCB Temperature",
            "Engine Temperature",
            "Battery Temperature",
        )
    },
    "V": {"0.001": tuple(f"Analog Input {number}" for number in range(1, 5))},
    "mV": {"1": ("External Voltage", "Battery Voltage")},
    "l": {
        "0.1": (
            "Fuel Consumed (counted)",
            "Fuel Consumed",
            "Fuel Level Liters",
            "AdBlue Level Liters",
        )
    },
    "l/h": {"0.1": ("Fuel Rate",)},
    "": {"0.01": ("Eco score",)},
}
"""Unit, multiplier, names. The pages of FMB640, FMC650 and their kin give none; the ranges are
those of tenths (-550 to 1150 for -55 to 115 °C) and of millivolts (0 to 30000 for 0 to 30 V), and
the other models have the same elements with these multipliers."""

_DALLAS_TEMPERATURE = {
    850: "sensor not ready",
    2000: "value read error",
    3000: "not connected",
    4000: "ID failed",
    5000: "sensor not ready",
}
"""Source: the pages "AVL ID" of FMB models, "Dallas Temperature 1"."""

_BLE_TEMPERATURE = {
    2000: "failed sensor data parsing",
    3000: "sensor not found",
    4000: "abnormal sensor state",
}
"""Source: the same pages, "BLE Temperature #1". In hundredths of a degree 3000 is 30 °C, too."""


def type_of(row: IoDescription) -> IoType:
    """How a value is to be read: some rows are called unsigned and have a range below 0."""
    is_below_zero = row.type is IoType.UNSIGNED and row.minimum.startswith("-")
    return IoType.SIGNED if is_below_zero else row.type


def multiplier_of(row: IoDescription) -> str:
    """What a value is to be multiplied with; empty where that is not known."""
    if row.unit == "%RH" and row.maximum == "1000":
        return "0.1"  # battery trackers' pages say 1, of up to 100 %
    if row.name.startswith("BLE Temperature #") and row.multiplier == "1":
        return ""  # battery trackers' pages: -400 to 12050 is neither degrees nor tenths
    if row.multiplier:
        return row.multiplier
    stated = _WITHOUT_A_MULTIPLIER.get(row.unit, {})
    return next((multiplier for multiplier, names in stated.items() if row.name in names), "")


def sentinels_of(row: IoDescription) -> dict[int, str]:
    """Values of a temperature that are none: why the sensor has no measurement."""
    if row.unit != "°C":
        return {}
    if row.name.startswith("Dallas Temperature "):
        return _DALLAS_TEMPERATURE
    if row.name.startswith("BLE Temperature #"):
        return _BLE_TEMPERATURE
    return {}


def unit_of(row: IoDescription) -> str:
    """What a multiplied value counts."""
    if row.name == "Total Odometer":
        return "m"  # the pages of most models leave it out, those of the others have it
    return row.unit
