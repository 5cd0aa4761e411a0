"""A dataset as one HTML file to look at: `fs-data report`.

queries.py     what the charts count, over every row
browse.py      the problems to leaf through, a sample of them
compare.py     what lies between two versions
charts.py      Vega-Lite by Altair (extra `report`)
words.py       sentences, titles, captions
page.py        all of it as one file
image.py       the rewards as a picture, for dataset cards
template/      HTML, CSS and the script of the page
"""
