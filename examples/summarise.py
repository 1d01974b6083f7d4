"""The smallest function: a line about each new file, published beside it."""

from penstock import function


@function(on="*.txt")
def summarise(call):
    """Count the words of a text file."""
    text = call.open("r", errors="replace").read()
    words = len(text.split())
    call.output("words.txt").write_text(f"{call.input.name}: {words} words\n")
    return {"words": words}
