"""Redis or Valkey: a gate, a queue of hints, a copy of the events. Nothing here is authoritative, and no secret enters."""
