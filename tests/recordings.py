"""Made-up recordings: a tone for each word, in WAV files."""

import wave

import numpy as np

RATE_HZ = 8000
TONES = {"low": 300, "middle": 900, "high": 2200}


def tone(word, generator, seconds=0.2):
    places = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = TONES[word] * generator.uniform(0.9, 1.1)
    return 6000 * np.sin(2 * np.pi * pitch * places) + 600 * generator.standard_normal(len(places))


def write(path, samples, *, rate_hz=RATE_HZ):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.asarray(samples).astype("<i2").tobytes())
    return path


def write_words(folder, count, seed=0):
    """`count` files a word, between 0.1 and 0.3 s long."""
    generator = np.random.default_rng(seed)
    for word in TONES:
        for number in range(count):
            seconds = generator.uniform(0.1, 0.3)
            write(folder / word / f"{number:03d}.wav", tone(word, generator, seconds))


def write_strings(folder, counts, seed=0):
    """Tables of files with two or three tones each, and what they say."""
    generator = np.random.default_rng(seed)
    for part, count in counts.items():
        lines = ["file\ttext"]
        for number in range(count):
            said = generator.choice(list(TONES), generator.integers(2, 4))
            gap = np.zeros(400)
            pieces = [gap, *(piece for word in said for piece in (tone(word, generator), gap))]
            write(folder / part / f"{number}.wav", np.concatenate(pieces))
            lines.append(f"{part}/{number}.wav\t{' '.join(word[0] for word in said)}")
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
