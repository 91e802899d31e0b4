"""Words that say the same, one line for each meaning; a word stands in one line.

Everyday words of questions, tasks and sums, of programming and of school science, from general English.
"""

SYNONYMS = """
buy bought buying purchase purchased acquire acquired
sell sold selling vend
cost costs price priced prices fee charge charged charges
earn earned earns earning earnings income paid pay pays payment salary wage wages revenue
spend spent spends spending expense expenses
total altogether combined overall sum entire
left remain remains remained remaining remainder rest leftover
child kid kids children youngster youngsters
begin began begins beginning start started starts starting commence initial
finish finished end ended ends complete completed completes
house home residence
big large huge
small little tiny
daily day days
weekly week weeks
monthly month months
yearly annual annually year years
hourly hour hours
mother mom mum
father dad
brother sister sibling siblings brothers sisters
friend pal buddy friends
car vehicle automobile cars vehicles
phone smartphone cellphone cell mobile phones smartphones
present gift gifts presents
movie film movies films
shop store shops stores shopping
person people individual individuals guest guests customer customers
money cash dollar dollars buck bucks
own owns owned possess possesses possessed belong belongs belonging
speed rate pace
trip journey travel travels traveled travelling tour
walk walked walks stroll
eat ate eats eaten eating consume consumed consumes
see saw seen view observe observed observing
receive received receives obtain obtained obtains accept accepts accepted accepting
answer reply respond response responds replies answers
write compose draft create craft writing composing
explain describe clarify discuss explanation description outline elaborate
list name enumerate lists listing array arrays sequence sequences
summarize summary summarise summarizing condense synopsis
improve enhance better boost improving improvement increase increasing
method technique strategy approach tip methods techniques strategies approaches tips tactic tactics
benefit advantage pros benefits advantages upside
drawback disadvantage cons drawbacks disadvantages downside
difference differ differs differences distinction distinctions distinguish contrast
important significant crucial essential vital key importance significance
effective efficient effectively efficiently
main primary chief major principal
find determine calculate compute figure calculating determining
implement code program develop build implementing coding built construct constructing constructed
function routine
return returns returning output outputs
rewrite rephrase reword paraphrase
formal formally professional professionally
story tale narrative
example instance illustration examples instances
reason cause causes reasons caused
effect impact consequence result results effects impacts consequences influence influences
happen occur occurs happened occurred appear appears appeared appearing occurrence occurrences
choose pick select chosen chooses selected
show demonstrate illustrate shows
help assist aid helps assists helped helping
keep maintain retain
fast quick rapid quickly rapidly fastest
job occupation employment work works worked working employed
company firm business enterprise corporation
doctor physician
lawyer attorney
teacher instructor professor
student pupil learner students pupils
country nation countries nations
picture image photo photograph pictures images photos
road street
boss manager supervisor
email mail e-mail emails
quit quitting resign resigning resignation
song track songs
generate produce produces produced manufacture manufactured manufactures
utilize employ
possible potential
common shared
average mean
equal equally evenly identical
fewer less
extra additional
percent percentage
probability chance likelihood
old age aged older ages
young younger
long length
tall height
heavy weigh weighs weight
far distance
celebrate celebration party
split divide divided share splits divides dividing separate separates separated separating splitting
combat fight
motivate encourage inspire
popular well-liked favourite favorite
attempt try tries tried
even
form forms
text string strings texts
integer int number numbers integers value values
element item items elements entry entries
character char chars characters letter letters
parenthesis parentheses paren parens bracket brackets bracketing
delimiter delimiters separator separators
substring substrings subsequence subsequences
maximum max maximal highest largest greatest biggest
minimum min minimal lowest smallest least
threshold limit limits cutoff bound bounds
close closer closest near nearer nearest nearby
check checks checked verify verifies examine test tests tested validate validates confirm
join joins joined concatenate concatenates concatenated concatenation
remove removes removed removing delete deletes deleted drop drops dropped eliminate discard
ignore ignores ignored disregard disregards disregarded skip
count counts counted counting tally
duplicate duplicates duplicated repeated
unique distinct different
order ordered ordering arrangement
ascend ascending
descend descending
uppercase capital capitals capitalized
reverse reverses reversed backwards inverted invert
multiply product multiplied multiplies multiplying multiplication
add adds added adding addition
convert converts converted conversion transform transforms transformed turn turns turned change changes changed
consecutive successive adjacent neighbouring neighboring contiguous
input inputs argument arguments parameter parameters
position positions index indices indexes
digit digits
rotate rotates rotated rotation shift shifted shifts
encode encodes encoded encoding encrypt encrypts encrypted
decrease decreases decreased reduce reduces reduced lower lowers lowered lessen diminish
organism organisms creature creatures
material materials substance substances matter
soil dirt topsoil
surround surrounding surroundings environment environments
region regions area areas
property properties characteristic characteristics trait traits feature features quality qualities
kind kinds type types
probable probably likely likeliest
warm warmer hot heat heats heated warms
cold cool cools cooler cooled
scientist scientists researcher researchers
move moves moved moving movement motion
require requires required requiring necessary
"""
