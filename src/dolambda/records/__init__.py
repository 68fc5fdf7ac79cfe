"""Records of all runs, in the user's state directory.

**Input:** replies as they arrive, and the counts at the end. **Output:** one file for each run.

    file_format.py    the file: a header, blocks of columns, a footer
    recorder.py       writes the file of one run while it runs
    timeline.py       the times at which each task ran
    timeline_data.py  the times as columns, for the script of a page
    charts.py         charts that need no script
    report_tables.py  figures and tables of a page
    html_report.py    the record as a page
    state.py          whether a run is running, complete or was killed
    advice.py         what to change before the next run
    work.py           how long jobs take at another memory size
    straggler.py      why the end of a run was waited for
    store.py          the directory: new files, old files, a file by its name

A record holds no arguments, no results and no output.
"""
