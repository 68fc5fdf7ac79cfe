"""The display of a run while it runs, in three forms.

**Input:** reports of runs. **Output:** text on standard error, or a display of a notebook.

    words.py      a report as a line that fits the width, and the closing line
    terminal.py   a bar for each run, at the bottom of a terminal
    notebook.py   one display for each run, which is updated
    log_lines.py  lines at growing intervals, if output is a file
    choose.py     the choice of the form
    notices.py    single lines that the user has to see
"""
