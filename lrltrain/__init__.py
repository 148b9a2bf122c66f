"""Language adapters: training them, and measuring what they did."""

from lrldata.threads import limit_threads

limit_threads()  # before torch is imported, which starts its threads as they are set then
