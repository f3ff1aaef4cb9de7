"""`python -m cfexplain.cli`."""

from cfexplain.cli import main

if __name__ == "__main__":
    main()
