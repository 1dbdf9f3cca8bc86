"""One self-contained HTML page of results, with interactive curves, sortable tables and playback.

Own code, since no kept library plays a sequence with every tracker's box from one file that loads nothing.
"""
