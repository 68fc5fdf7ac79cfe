"""R on Lambda: the bridge that an R session starts, and the R process that a worker keeps.

    R session (r/doLambda)                                worker
      registerDoLambda()                                    child process
        | frames over a socket on 127.0.0.1                   | frames over two pipes
      bridge.py  an ordinary client of a Session  -- jobs --> function.py, r_process.py -> worker.R

R's values travel in R's serialized form. Python reads none of them.
"""
