"""A function with a dependency: a small picture of each new one. The package is installed at deploy time."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["pillow>=11"]
# ///

from PIL import Image

from penstock import function


@function(on="**/*.png", outputs="{parent}/thumbnails/{stem}.{name}", memory="512MiB")
def thumbnail(call):
    """Shrink a picture to at most 128 pixels a side."""
    with Image.open(call.input) as picture:
        picture.thumbnail((128, 128))
        picture.save(call.output("small.png"))
        return {"width": picture.width, "height": picture.height}
