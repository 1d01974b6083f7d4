"""A workflow: split a table into columns, look at each column, put the findings together.

split -> column (once for each) -> report
"""

from statistics import mean

from penstock import Retry, function, workflow


@function
def split(call):
    """Read a CSV file of numbers with one line of names."""
    names, *rows = (line.split(",") for line in call.open("r").read().splitlines() if line.strip())
    columns = zip(*[[float(cell) for cell in row] for row in rows], strict=True)
    return {
        "columns": [{"name": name, "values": values} for name, values in zip(names, columns, strict=True)]
    }


@function(timeout_s=30, retry=Retry(attempts=3, delay_s=0.5))
def column(call):
    """Describe one column."""
    values = call.item["values"]
    return {"name": call.item["name"], "least": min(values), "mean": mean(values), "most": max(values)}


@function(outputs="{root}/reports/{relative}/{stem}.{name}")
def report(call):
    """Write one line for each column."""
    found = call.results["column"]
    lines = [
        f"{each['name']}: {each['least']:g} .. {each['most']:g}, mean {each['mean']:g}" for each in found
    ]
    call.output("report.txt").write_text("\n".join(lines) + "\n")
    return {"columns": len(found)}


scan = workflow("scan", on="**/*.csv", summary="Describe each table as it arrives.")
parts = scan.step(split)
columns = scan.step(column, after=parts, each="split.columns", window=8)
scan.step(report, after=columns)
