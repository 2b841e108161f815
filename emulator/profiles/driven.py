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
