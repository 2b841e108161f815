"""What each verb of a scenario does to a device."""

from collections.abc import Callable

from teltonika.codecs import AVL_CODECS
from teltonika.emulator.chauffeur import Chauffeur
from teltonika.emulator.drive import Drive
from teltonika.emulator.faulty_link import FaultyLink
from teltonika.emulator.link import DeviceLink
from teltonika.emulator.record_buffer import RecordBuffer
from teltonika.emulator.scenario.step import Step, Verb


def do(step: Step, link: DeviceLink) -> None:
    """Do to the device of ``link`` what ``step`` says; all but `Verb.ASK`."""
    match step.do:
        case Verb.LOSE_NETWORK:
            link.lose_network(step.for_s or 0.0)
        case Verb.SLEEP:
            link.sleep(step.for_s or 0.0)
        case Verb.REBOOT:
            link.restart()
        case Verb.FAULT if isinstance(link, FaultyLink) and step.fault is not None:
            link.inject(step.fault)
        case Verb.TEXT:
            link.send_text(step.text or "", step.text_codec())
        case Verb.CODEC:
            codec = AVL_CODECS.by_name(step.codec or "")
            link.device.codec = codec
            _drive(link).explain(generation_type=codec.has_generation_type)
        case verb:
            _OF_DRIVES[verb](_drive(link))


def end(verb: Verb, link: DeviceLink) -> None:
    """Do the verb of `ENDS` that ends another."""
    _OF_DRIVES[verb](_drive(link))


def _drive(link: DeviceLink) -> Drive:
    records = link.device.records
    if isinstance(records, RecordBuffer):
        return records.drive
    if not isinstance(records, Drive):
        raise TypeError(f"{records!r} is no drive that a scenario could change")
    return records


def _chauffeur(drive: Drive) -> Chauffeur:
    if not isinstance(drive.vehicle, Chauffeur):
        drive.vehicle = Chauffeur(drive.vehicle)
    return drive.vehicle


_OF_DRIVES: dict[Verb, Callable[[Drive], None]] = {
    Verb.DRIVE: lambda drive: _chauffeur(drive).go(),
    Verb.PARK: lambda drive: _chauffeur(drive).park(),
    Verb.LOSE_GNSS: Drive.lose_gnss,
    Verb.FIND_GNSS: Drive.find_gnss,
    Verb.UNPLUG: Drive.unplug,
    Verb.PLUG: Drive.plug,
    Verb.TOW: Drive.tow,
    Verb.END_TOW: Drive.end_tow,
    Verb.PANIC: Drive.panic,
}
