"""A small web server on this machine that shows recorded runs while they run.

**Input:** the directory of records. **Output:** pages on 127.0.0.1, for one browser.

    access.py    access by a token, a cookie, Host and Origin
    watched.py   the records, read further as their files grow
    pages.py     HTML and JSON of them
    live.js      updates a page
    server.py    HTTP, and the end when there are no more requests
"""
