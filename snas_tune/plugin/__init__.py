"""The plugin room: the Pareto tab of TensorBoard.

- :mod:`snas_tune.plugin.loader`: the entry point; imports nothing but TensorBoard.
- :mod:`snas_tune.plugin.routes`: what the browser asks for.
- :mod:`snas_tune.plugin.reader`: points, curves and architectures from TensorBoard's data provider.
- :mod:`snas_tune.plugin.series`: what is read of a run, and the points that are drawn of it.
- :mod:`snas_tune.plugin.rows`: rows of the front file from event files, and their export.
- ``static/``: the page, JavaScript modules without a build.

It needs neither torch nor Ray, and reads nothing but what TensorBoard itself has loaded, so it
works on any log directory, wherever that lies, and while a sweep runs.
"""
