"""The API process: REST, streams and page, apart from the engine's interpreter.

    access -> application -> operations -> desk -> history, tail (log) / state reader / engine link

Nothing here wakes while nothing happens: no polling, no keep-alives, no clock.
"""
