import importlib.util
import secrets

from clicv2_keras.utils.atomic_files import write_text
from clicv2_keras.utils.errors import UserError


class WandbLog:
    """Context that sends the rows of `metrics.csv` to Weights & Biases, and nothing else.

    What it has not got yet of the rows is sent, whatever became of the process before: `wandb_id.txt` in the run folder
    names the run there, which a resumed run goes on with. Rows that are done again are not sent twice.

    Args:
        folder: the `RunFolder`; its recipe's `run.wandb` is the project.

    Raises:
        UserError: on entry, where Weights & Biases cannot be reached or knows no user.
    """

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        import wandb

        recipe, path = self.folder.recipe, self.folder.path / "wandb_id.txt"
        if not path.exists():
            write_text(path, secrets.token_hex(4))
        try:
            self.run = wandb.init(
                project=recipe.run.wandb,
                name=recipe.name,
                id=path.read_text(encoding="utf-8"),
                resume="allow",
                dir=str(self.folder.path),
                config=recipe.model_dump(),
            )
        except Exception as error:  # wandb's own kinds have no common parent
            reason = " ".join(str(error).split()) or type(error).__name__
            line = f"{recipe.where('run.wandb')}: {reason}; wandb login, or WANDB_MODE=offline, may help"
            raise UserError(line) from None
        # The step that it expects next: a resumed run's own count.
        self.next = self.run.step
        self._send()
        return self

    def __exit__(self, kind, *_):
        self.run.finish(exit_code=int(kind is not None))

    def add_row(self, row):
        """Send the row that has just been added to the folder."""
        self._send()

    def _send(self):
        for row in self.folder.rows:
            step = row["step"]
            if step >= self.next:
                figures = {name: value for name, value in row.items() if name != "step"}
                # Else it would wait for the next row to be shown.
                self.run.log(figures, step=step, commit=True)
                self.next = step + 1


def check_wandb(recipe):
    """Raise a `UserError` where the recipe asks for Weights & Biases and it is not installed."""
    if recipe.run.wandb is None:
        return
    package = importlib.util.find_spec("wandb")
    # Without an origin it is a folder of that name: wandb leaves one where it runs.
    if package is None or package.origin is None:
        raise UserError(f"{recipe.where('run.wandb')}: wandb is not installed; pip install wandb, or leave the key out")
