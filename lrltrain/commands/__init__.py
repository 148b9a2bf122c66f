"""The commands of `lrltrain`, a module each: parse, call the recipe, print."""
