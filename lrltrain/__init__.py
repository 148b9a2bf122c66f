"""Language adapters: training them, and measuring what they did."""
