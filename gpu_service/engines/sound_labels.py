"""Everyday sounds, for an engine that must choose from names and was given none."""

#: The 50 classes of ESC-50 in plain words (Piczak 2015, "ESC: Dataset for Environmental Sound
#: Classification", table 1), and what its recordings leave out: people who speak or sing, music,
#: an alarm, and nothing.
EVERYDAY: tuple[str, ...] = (
    # people who are heard, but not in ESC-50
    *("speech", "singing", "music", "alarm", "silence"),
    # animals
    *("dog barking", "rooster crowing", "pig grunting", "cow mooing", "frog croaking"),
    *("cat meowing", "hen clucking", "insects buzzing", "sheep bleating", "crow cawing"),
    # nature and water
    *("rain", "sea waves", "crackling fire", "crickets chirping", "birds chirping"),
    *("water drops", "wind blowing", "pouring water", "toilet flushing", "thunderstorm"),
    # people, without words
    *("baby crying", "sneezing", "clapping", "breathing", "coughing"),
    *("footsteps", "laughing", "brushing teeth", "snoring", "drinking"),
    # indoors
    *("knocking on a door", "mouse clicking", "typing on a keyboard", "door creaking"),
    *("can opening", "washing machine", "vacuum cleaner", "clock alarm", "clock ticking"),
    *("glass breaking",),
    # outdoors
    *("helicopter", "chainsaw", "siren", "car horn", "engine", "train", "church bells"),
    *("airplane", "fireworks", "sawing wood"),
)
