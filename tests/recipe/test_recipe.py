from typing import get_args

import pytest
import yaml

from clicv2_keras.data.labelled.scored_sets import SCORED_SETS
from clicv2_keras.recipe.files import load_recipe, shipped_recipes
from clicv2_keras.recipe.schema import Recipe, ScoredSet
from clicv2_keras.recipe.text import describe_schema, recipe_yaml
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import package_data

ABLATION = {
    # row: (contrast.level, contrast.shift_mode, entropy.weight, data.views)
    "mocov3": ("image", "none", 0, "two_crops"),
    "sp": ("image", "patch", 0, "same_crop"),
    "mem": ("none", "patch", 1, "same_crop"),
    "imagewise_all": ("image", "patch", 1, "same_crop"),
    "pw": ("patch", "patch", 0, "same_crop"),
    "clicv2": ("patch", "patch", 1, "same_crop"),
    "pw_without_sp": ("patch", "none", 1, "same_crop"),
}


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_and_say_what_they_cost(name):
    recipe = load_recipe(name)
    first = (package_data("recipes") / f"{name}.yaml").read_text().split("name:")[0]
    assert first.startswith("# ") and "osts" in first
    assert load_recipe(f"recipes/{name}.yaml") == recipe
    assert recipe.name == name.replace("/", "_")


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("quickstart", 1e-3),
        ("clicv2_vit_tiny", 2.5e-4),
        ("clicv2_vit_small", 6e-4),
        ("clicv2_vit_base", 6e-4),
        ("clicv2_vit_large", 6e-4),
        ("mocov3_vit_small", 6e-4),
        ("ablation/pw", 5e-4),
    ],
)
def test_learning_rates_of_shipped_recipes(name, rate):
    assert load_recipe(name).learning_rate == pytest.approx(rate, rel=1e-12)


def test_the_learning_rate_follows_the_batch_where_none_is_given():
    recipe = load_recipe("clicv2_vit_base", ["train.batch_size=512"])
    assert recipe.optimizer.learning_rate is None and recipe.learning_rate == pytest.approx(3e-4)
    assert load_recipe("quickstart", ["train.batch_size=512"]).learning_rate == 1e-3


@pytest.mark.parametrize("row", ABLATION)
def test_rows_of_the_ablation_differ_in_their_parts_alone(row):
    recipe, whole = load_recipe(f"ablation/{row}"), load_recipe("ablation/clicv2")
    parts = (recipe.contrast.level, recipe.contrast.shift_mode, recipe.entropy.weight, recipe.data.views)
    assert parts == ABLATION[row]
    assert (recipe.train, recipe.optimizer, recipe.encoder) == (whole.train, whole.optimizer, whole.encoder)


def test_random_row_takes_no_step():
    assert load_recipe("ablation/random").train.steps == 0


def test_a_complete_recipe_loads_as_itself(tmp_path):
    recipe = load_recipe("mocov3_vit_small", ["optimizer.learning_rate=3e-4"])
    assert recipe.optimizer.learning_rate == 3e-4
    assert load_recipe(write(tmp_path, "full.yaml", recipe_yaml(recipe))) == recipe


def test_extends_a_file_beside_it_and_a_shipped_recipe(tmp_path):
    write(tmp_path, "base.yaml", "extends: quickstart\ntrain: {steps: 7}\n")
    recipe = load_recipe(write(tmp_path, "mine.yaml", "extends: base.yaml\ntrain: {batch_size: 9}\n"))
    assert (recipe.train.steps, recipe.train.batch_size) == (7, 9)
    assert recipe.data == load_recipe("quickstart").data


def test_an_empty_recipe_is_all_defaults(tmp_path):
    assert load_recipe(write(tmp_path, "empty.yaml", "")) == Recipe()


def test_the_schema_tells_every_key_its_type_default_and_meaning():
    text = describe_schema()
    for name, field in Recipe.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            assert f"\n{name}:" in text
            for key, part in field.annotation.model_fields.items():
                assert f"\n  {key}: " in text and part.description in text
        else:
            assert f"\n{name}: " in text and field.description in text
    assert "learning_rate: number > 0 | null = null" in text
    assert "level: patch | image | none = patch" in text
    assert "max_shift: whole number ≥ 1 | null = null" in text


MISTAKES = {
    # text of the file: what the one line must say
    "optimizer: {learnig_rate: 1}": ["optimizer.learnig_rate", "did you mean learning_rate?", "warmup_steps"],
    "tarin: {steps: 1}": ["tarin", "did you mean train?"],
    "train: {steps: many}": ["train.steps", "integer", "'many'"],
    "train: {steps: -1}": ["train.steps", "greater than or equal to 0"],
    "train: 5": ["train: 5 is not a section", "batch_size"],
    "contrast: {level: pach}": ["contrast.level", "did you mean patch?", "patch, image, none"],
    "encoder: {preset: vit_tiny_patch_16}": ["encoder.preset", "did you mean vit_tiny_patch16?"],
    "data: {image_size: 100}": ["data.image_size", "100", "16", "96 or 112"],
    "encoder: {patch_size: 20}": ["encoder.patch_size", "20", "96", "80 or 100"],
    "encoder: {num_heads: 5}": ["encoder.width", "num_heads 5"],
    "contrast: {tokens: 37}": ["contrast.tokens", "36 patches"],
    "contrast: {max_shift: 17}": ["contrast.max_shift", "16"],
    "data: {views: two_crops}": ["data.views", "contrast.level patch"],
    "contrast: {level: none}\nentropy: {weight: 0}": ["contrast.level", "nothing to learn"],
    "contrast: {keep_ratio: 0.3, tokens: 12}": ["contrast.tokens", "a view's 11 patches"],
    "contrast: {keep_ratio: 0}": ["contrast.keep_ratio", "greater than 0"],
    "contrast: {negatives: same_image, level: image}": ["contrast.negatives", "image's mean"],
    "contrast: {negatives: same_image, global_weight: 1}": ["contrast.global_weight", "take 0"],
    "contrast: {negatives: same_image, tokens: 1}": ["contrast.tokens", "2 or more"],
    "contrast: {energy_weight: 0.25}": ["contrast.energy_weight", "CLIC", "contrast.level image"],
    "contrast: {copies: [blurr]}": ["contrast.copies.0", "did you mean blur?"],
    "contrast: {copies: [blur, blur]}": ["contrast.copies", "twice"],
    "entropy: {statistics: []}": ["entropy.statistics"],
    "entropy: {statistics: [entropi]}": ["entropy.statistics.0", "did you mean entropy?"],
    "entropy: {statistics: [entropy_quarter]}\nencoder: {patch_size: 6}": ["entropy.statistics", "4 x 4 pixels"],
    "entropy: {mask_ratio: []}": ["entropy.mask_ratio", "name one or more"],
    "entropy: {mask_ratio: [], weight: 0}": ["entropy.mask_ratio", "name one or more"],
    "entropy: {statistics: [gradient_half]}\nencoder: {patch_size: 2}": ["entropy.statistics", "compares pixels"],
    "entropy: {statistics: [colors]}\nencoder: {patch_size: 1}": ["entropy.statistics", "compares pixels"],
    "encoder: {patch_size: 1}": ["contrast.max_shift", "half of a patch of 1 pixel", "shift_mode none"],
    "entropy: {mask_ratio: 0}": ["entropy.mask_ratio", "hides nothing", "entropy.visible"],
    "entropy: {mask_ratio: [0, 1]}": ["entropy.mask_ratio", "less than 1"],
    "entropy: {mask_ratio: [0.2, 0.5, 0.7]}\ntrain: {batch_size: 2}": ["entropy.mask_ratio", "there are 2"],
    "train: {batch_size: 1}": ["train.batch_size", "2 or more"],
    "data: {num_images: null}": ["data.num_images"],
    "data: {path: photos}": ["data.path", "procedural source reads no photos", "data.source folder"],
    "data: {source: folder, num_images: 100}": ["data.num_images", "folder takes all"],
    "guide: {teacher: pixels, pooled_weight: 0}": ["guide.pooled_weight", "nothing to teach", "no other part"],
    "guide: {teacher: t.keras, pooled_weight: 0, grid_weight: 0}": ["guide.pooled_weight", "grid_weight is 0 as well"],
    "labels: {root: a.csv}": ["labels.root", "labels.dataset"],
    "probe: {root: [a, b]}": ["probe.root", "probe.dataset"],
    "data: {image_size: 16}\ncontrast: {level: image}": ["entropy.weight", "two patches"],
    "entropy: {decoder_width: 90}": ["entropy.decoder_width", "multiple of 4"],
    "optimizer: {warmup_steps: 1000}": ["optimizer.warmup_steps", "train.steps"],
    "optimizer: {learning_rate: .nan}": ["optimizer.learning_rate", "finite"],
    "run: {dir: gs://bucket/run}": ["run.dir: gs://bucket/run: is a URL", "on this machine"],
    "seed: 2024-02-30": ["not valid YAML", "day"],
    'seed: !!int ""': ["not valid YAML", "type that its tag says"],
    "data: {flip: !!bool maybe}": ["not valid YAML", "type that its tag says"],
    "name: !!timestamp x": ["not valid YAML", "type that its tag says"],
    "[" * 3000: ["not valid YAML", "nested too deeply"],
    "data: &a {more: *a}": ["not valid YAML in line 1", "alias *a"],
    "train: {steps: 7}\ndata: {flip: false}\ntrain: {batch_size: 8}": [
        "not valid YAML in line 3",
        "train is there twice",
    ],
    "train: {steps: 12:30}": ["train.steps", "integer", "'12:30'"],
    "train: {steps: true}": ["train.steps", "valid number", "True"],
    "entropy: {weight: false}": ["entropy.weight", "valid number", "False"],
    f"train: {{steps: {'9' * 400}}}": ["train.steps", "less than or equal to", "999...999"],
    "data: {num_images: 100000000000}": ["data.num_images", "less than or equal to"],
    "labels: {dataset: [], root: []}": ["labels.dataset", "names no data set"],
    "labels: {parts: [token, token]}": ["labels.parts", "twice"],
    "0": ["key: value"],
    "extends: quickstrat": ["quickstrat", "did you mean quickstart?"],
    "extends: mine.yaml": ["extends", "itself"],
    "train: {steps: 1": ["not valid YAML", "line"],
    "- 1": ["key: value"],
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_line_with_file_key_and_what_is_allowed(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mine.yaml", text)
    with pytest.raises(UserError) as caught:
        load_recipe("mine.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert "mine.yaml" in line or text.startswith("extends: quick")
    for part in MISTAKES[text]:
        assert part in line


def test_a_mistake_names_the_file_that_holds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "base.yaml", "train: {stops: 1}")
    write(tmp_path, "mine.yaml", "extends: base.yaml\n")
    with pytest.raises(UserError, match=r"^base\.yaml: train\.stops"):
        load_recipe("mine.yaml")


@pytest.mark.parametrize(
    "override",
    [
        "train.steps",
        "=3",
        "train..steps=3",
        "train.steps=[",
        "train.stops=3",
        "seed=x",
        "extends=a",
        f"{'a.' * 3000}a=1",
    ],
)
def test_a_mistake_in_an_override_says_so(override):
    with pytest.raises(UserError, match=r"^--set") as caught:
        load_recipe("quickstart", [override])
    assert "\n" not in str(caught.value)


def test_an_override_is_yaml():
    recipe = load_recipe("quickstart", ["data.flip=false", "train.steps=3", "run.dir=null", "data={min_area: 0.9}"])
    assert (recipe.data.flip, recipe.train.steps, recipe.run.dir, recipe.data.min_area) == (False, 3, None, 0.9)
    # Not YAML 1.1's numbers, to which it is 8.
    assert load_recipe("quickstart", ["train.steps=010"]).train.steps == 10


def test_a_recipe_at_hand_takes_overrides_and_is_checked_as_a_file_is():
    recipe = Recipe(name="mine", train={"steps": 7})
    assert load_recipe(recipe) == recipe
    assert load_recipe(recipe, ["train.steps=3"]) == Recipe(name="mine", train={"steps": 3})
    with pytest.raises(UserError, match="^--set: contrast.level: none, .* leaves nothing to learn"):
        load_recipe(recipe, ["contrast.level=none", "entropy.weight=0"])
    with pytest.raises(UserError, match="^--set: train.steps: "):
        load_recipe(recipe, ["train.steps=-1"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.jit=maybe", "--set: train.jit: "),
        ("labels.root=5", "--set: labels.root: "),
        ("entropy.mask_ratio=[x]", "--set: entropy.mask_ratio.0: "),
        ("labels={parts: []}", "--set: labels.parts: is an empty list"),
        ("guide={teacher: pixels, grid_dim: 9}", "--set: guide.grid_dim: a guide by pixels has no grid"),
    ],
)
def test_a_mistake_is_told_of_its_own_key_and_place(override, says):
    with pytest.raises(UserError, match=f"^{says}"):
        load_recipe("quickstart", [override])


def test_an_image_alone_has_no_entropy_to_be_standardised_by():
    keys = ["contrast.level=none", "train.batch_size=8", "train.accumulate=8"]
    load_recipe("quickstart", keys)
    with pytest.raises(UserError, match="entropy.target: an image's entropy is standardised by that of others"):
        load_recipe("quickstart", [*keys, "entropy.target=both"])


def test_the_probe_knows_every_data_set():
    assert get_args(ScoredSet) == tuple(SCORED_SETS)


def test_recipes_are_plain_data():
    for path in package_data("recipes").rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict)
