"""R on Lambda: the bridge that an R session starts, and the R process that a worker keeps.

    R session (r/doLambda)                                worker
      registerDoLambda()                                    child process
        | frames over a socket on 127.0.0.1                   | frames over two pipes
      bridge.py  an ordinary client of a Session  -- jobs --> function.py, r_process.py -> worker.R

R's values travel as R serialized them. Python looks into none of them.
"""
