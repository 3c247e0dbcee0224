"""Who is told of a row of `metrics.csv`."""

from clicv2_keras.training.callbacks.event_writer import EventWriter
from clicv2_keras.training.callbacks.pictures import Pictures


def row_listeners(model, folder, display, source, skipped, probe=None, wandb=None, held_out=None):
    """Pairs (steps between, function of a row) in their order: the first may still add to the row.

    Args:
        model: the `CLICv2`.
        folder: the `RunFolder`.
        display: the `Display`.
        source: the images of the run.
        skipped: the `SkippedImages`.
        probe: a `ComplexityProbe`, or None.
        wandb: a `WandbLog`, or None.
        held_out: a `HeldOutGuide`, or None.
    """
    recipe = folder.recipe
    events = EventWriter(folder.path / "tensorboard")
    found = [(1, folder.add_row), (1, events.add_row), (1, display.row)]
    if wandb:
        found.append((1, wandb.add_row))
    if recipe.run.images_every:
        pictures = Pictures(recipe, model, source, skipped)

        def add_picture(row):
            events.add_picture("what the model sees", pictures.draw(), row["step"])

        found.append((recipe.run.images_every, add_picture))
    if probe:

        def ask(row):
            row |= probe.ask(model, row["step"])
            best = "the best so far, encoder_best.keras" if probe.best is probe.rows[-1] else "not the best"
            figures = f"PCC {row['probe_pcc']:.4f}, SRCC {row['probe_srcc']:.4f}"
            without = f"; without {len(probe.unreadable)} unreadable images" if probe.unreadable else ""
            folder.log(f"probe at step {row['step']}: {figures}; {best}{without}")

        found.insert(0, (recipe.probe.every, ask))
    if held_out:
        found.insert(0, (recipe.probe.every, lambda row: row.update(held_out.ask(model))))
    return found
