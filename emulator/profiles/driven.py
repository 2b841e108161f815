"""IO elements whose values a drive knows."""

DRIVEN = {
    "Ignition": 239,
    "Movement": 240,
    "GSM Signal": 21,
    "Sleep Mode": 200,
    "GNSS Status": 69,
    "Digital Output 1": 179,
    "Digital Output 2": 180,
    "External Voltage": 66,
    "Battery Voltage": 67,
    "Speed": 24,
    "GNSS PDOP": 181,
    "GNSS HDOP": 182,
    "Active GSM Operator": 241,
    "Total Odometer": 16,
    "Total Mileage (Counted)": 16,
    "Trip Odometer": 199,
}
"""Names in the IO dictionary to the ids that the drive calls them by; a model may have others."""

EVENTS = {
    "Digital Input 1": 1,
    "Geofence zone 01": 155,
    "Towing": 246,
    "Unplug": 252,
    "Green driving type": 253,
    "Green Driving Value": 254,
    "Over Speeding": 255,
}
"""The same of elements that an event brings into its record."""
CHANGES = frozenset((DRIVEN["Ignition"], DRIVEN["Movement"]))
"""Elements of every record whose change is an event."""
