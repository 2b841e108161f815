"""What a model of tracker is: which IO elements it sends, in which codec, how it answers."""

from teltonika.emulator.profiles.pace import Pace, Paces
from teltonika.emulator.profiles.profile import Element, Profile
from teltonika.emulator.profiles.read import ProfileError, built_in_profiles, read_profile

__all__ = [
    "Element",
    "Pace",
    "Paces",
    "Profile",
    "ProfileError",
    "built_in_profiles",
    "read_profile",
]
