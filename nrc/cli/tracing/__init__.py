"""Commands that say what became of notificaties, and whom one would reach. They change nothing.

match.py     `nrc match`: whom a notificatie would reach, before it is sent
    laid_out.py  lines of cells, and sentences below them
"""
