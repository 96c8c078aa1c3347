"""A real browser for tests of pages: Debian's Chromium, with playwright and axe.

chromium.py    starting it, and opening a page in it
criteria.py    criteria of WCAG that axe does not look at
inspecting.py  what axe finds, whether a page is too wide, what the keyboard reaches, pictures
"""
