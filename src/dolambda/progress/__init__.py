"""What a user sees of a run while it runs: one display with three forms.

**Input:** reports of runs. **Output:** text on standard error, or a display of a notebook.

    words.py      a report as a line, as wide as there is room, and the closing line
    terminal.py   a bar for each run, at the bottom of a terminal
    notebook.py   one display for each run, which is updated
    log_lines.py  lines at growing intervals, where output is a file
    choose.py     which form it is
    notices.py    single lines that a user has to see
"""
